"""Models to deploy and break: each with a first version, a better one, one that is silently worse, rows to send and a
card of its measured quality. Each is trained from a seeded generator when it is asked for; nothing trained ships."""
