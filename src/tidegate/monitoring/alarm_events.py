"""Journal events of an alarm whose state has changed. Pure."""

from tidegate.domain.alarm import Alarm, AlarmState
from tidegate.domain.observation import Event


def state_events(old: Alarm, new: Alarm) -> list[Event]:
    """The events of a change of state: the change, and each action that it calls for. Nothing when it stayed.

    Actions are recorded, not carried out: no notification leaves this server. Scaling policies look at the state of
    the alarms that name them.
    """
    if new.state is old.state:
        return []
    change: dict[str, object] = {
        "item": "StateUpdate",
        "version": "1.0",
        "oldState": {"stateValue": old.state.value, "stateReason": old.state_reason},
        "newState": {"stateValue": new.state.value, "stateReason": new.state_reason},
        "stateReasonData": new.state_reason_data,
    }
    events = [Event("alarm", f"Alarm updated from {old.state} to {new.state}", change)]
    actions = {
        AlarmState.OK: new.ok_actions,
        AlarmState.ALARM: new.alarm_actions,
        AlarmState.INSUFFICIENT_DATA: new.insufficient_data_actions,
    }[new.state]
    if new.actions_enabled:
        events += [
            Event("alarm", f"Action due, {_carrier(arn)}: {arn}", {"item": "Action", "action": arn})
            for arn in actions
        ]
    return events


def _carrier(arn: str) -> str:
    return "left to its policy" if ":autoscaling:" in arn else "not carried out"
