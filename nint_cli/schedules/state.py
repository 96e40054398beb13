"""What of an object's state is no tensor, in a form that is checked when it is read."""

from pydantic import BaseModel, ConfigDict


class State(BaseModel):
    """Numbers that a checkpoint holds of one object; its dump is JSON data.

    Tuples take ``strict=False``, because JSON knows lists alone.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)
