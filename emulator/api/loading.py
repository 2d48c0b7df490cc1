"""Loads fastapi without building what a start does not use."""

from pydantic import BaseModel


def load_fastapi() -> None:
    """Import fastapi; its models of OpenAPI documents are built with the first one.

    That is 45 ms of 150. pydantic's switch for it is a model's own, and is inherited
    from ``BaseModel`` while it is on there.
    """
    config = BaseModel.model_config
    config["defer_build"] = True
    try:
        import fastapi  # noqa: F401
    finally:
        del config["defer_build"]
