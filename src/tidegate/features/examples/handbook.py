"""Notes of an invented company's handbook, with questions about them; written by hand.

Each note has two questions and what an answer must contain, in one of the spellings between bars. The instruction
for the model was chosen by the first questions; the second ones are held out.
"""

from typing import NamedTuple


class HandbookNote(NamedTuple):
    text: str
    questions: tuple[str, str]
    fact: str


NOTES = (
    HandbookNote(
        "Annual leave is 28 days a year.",
        ("How many days of annual leave do I have?", "What is my yearly leave?"),
        "28",
    ),
    HandbookNote(
        "Unused leave expires on 31 March.",
        ("When does leftover leave expire?", "Until when can I use last year's leave?"),
        "31 March",
    ),
    HandbookNote(
        "Salaries are paid on the 25th of each month.",
        ("On which day is my salary paid?", "When do I get paid?"),
        "25",
    ),
    HandbookNote(
        "Parental leave is 18 weeks at full pay.",
        ("How long is parental leave?", "How many weeks can new parents take?"),
        "18",
    ),
    HandbookNote(
        "The probation period is 4 months.",
        ("How long is the probation period?", "How many months am I on probation?"),
        "4 months|four months",
    ),
    HandbookNote(
        "The notice period is 6 weeks.",
        ("What is the notice period?", "How early do I have to tell you that I leave?"),
        "6 weeks|six weeks",
    ),
    HandbookNote(
        "Home office is allowed on 3 days a week.",
        ("How many days a week may I work from home?", "How often is home office allowed?"),
        "3 days|three days",
    ),
    HandbookNote(
        "The training budget is 900 euros a year.",
        ("How large is the training budget?", "How much can I spend on courses?"),
        "900",
    ),
    HandbookNote(
        "Expenses are filed within 45 days.",
        ("By when must I file expenses?", "How long do I have for an expense report?"),
        "45",
    ),
    HandbookNote(
        "A hotel may cost up to 140 euros a night.",
        ("What may a hotel cost?", "What is the limit for a night in a hotel?"),
        "140",
    ),
    HandbookNote(
        "A doctor's note is needed from the 4th day of illness.",
        ("From which day of illness do I need a doctor's note?", "When do I have to bring a sick note?"),
        "4th|fourth",
    ),
    HandbookNote(
        "The pension plan matches 5 percent of the salary.",
        ("How much does the company add to my pension?", "What does the pension plan match?"),
        "5 percent|5%|five percent",
    ),
    HandbookNote(
        "Overtime is paid at 125 percent.",
        ("What is overtime paid at?", "How is overtime paid?"),
        "125",
    ),
    HandbookNote(
        "The help desk has extension 4410.",
        ("What is the extension of the help desk?", "Which number has the help desk?"),
        "4410",
    ),
    HandbookNote(
        "Payslips appear in the portal on the 23rd.",
        ("When does my payslip appear?", "On which day can I see the payslip?"),
        "23",
    ),
    HandbookNote(
        "Bicycles are leased for 36 months.",
        ("How long is a bicycle leased?", "For how many months is a bike lease?"),
        "36",
    ),
    HandbookNote(
        "A referral is rewarded with 1,500 euros.",
        ("What is the reward for a referral?", "How much do I get when I refer a friend?"),
        "1,500|1500",
    ),
    HandbookNote(
        "Core hours are from 10 to 15 o'clock.",
        ("What are the core hours?", "Between which hours do I have to be there?"),
        "10",
    ),
    HandbookNote(
        "A move gives 2 days of special leave.",
        ("How many days off do I get when I move?", "How long is special leave for a move?"),
        "2 days|two days",
    ),
    HandbookNote(
        "Performance reviews are held in November.",
        ("When are performance reviews?", "In which month is my review?"),
        "November",
    ),
    HandbookNote(
        "The canteen closes at 14:30.",
        ("When does the canteen close?", "Until when can I eat in the canteen?"),
        "14:30",
    ),
    HandbookNote(
        "Laptops are replaced after 48 months.",
        ("When is my laptop replaced?", "How old must a laptop be for a new one?"),
        "48",
    ),
    HandbookNote(
        "A sabbatical may last up to 9 months.",
        ("How long may a sabbatical be?", "For how many months can I take a sabbatical?"),
        "9 months|nine months",
    ),
    HandbookNote(
        "Health insurance changes are possible in October.",
        ("When can I change my health insurance?", "In which month may I choose another health plan?"),
        "October",
    ),
)
