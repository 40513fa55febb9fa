"""The headers with which a client says how it wants its answer."""

from tests.support.gateway.calls import Call, Refused, rest_error

OBJECT = "application/vnd.pgrst.object+json"
KNOWN = {
    "return": ("minimal", "representation", "headers-only"),
    "resolution": ("merge-duplicates", "ignore-duplicates"),
    "missing": ("default", "null"),
    "count": ("exact", "planned", "estimated"),
}


def preferences(call: Call) -> dict[str, str]:
    """What the Prefer headers ask for, as far as it is known."""
    words = (word.strip().partition("=") for value in call.headers.getlist("prefer") for word in value.split(","))
    return {name: value for name, _, value in words if value in KNOWN.get(name, ())}


def applied(asked: dict[str, str]) -> dict[str, str]:
    """The header that repeats them."""
    return {"preference-applied": ", ".join(f"{name}={value}" for name, value in asked.items())} if asked else {}


def wants_one_object(call: Call) -> bool:
    """Whether exactly one row must come, as an object."""
    return call.headers.get("accept", "").startswith(OBJECT)


def check_schema(call: Call) -> None:
    """Raises Refused (406 PGRST106) for another schema than public."""
    for header in ("accept-profile", "content-profile"):
        schema = call.headers.get(header, "public")
        if schema != "public":
            raise Refused(rest_error(406, "PGRST106", f"Invalid schema: {schema}"))
