import functools, importlib, inspect, os, sys

sys.path.insert(0, os.getcwd())
module, _, name = sys.argv[1].partition(":")
calls = name.endswith("()")
thing = importlib.import_module(module)
for part in (name.removesuffix("()") if calls else name or "application").split("."):
    thing = getattr(thing, part)
if calls:
    thing = thing()
while isinstance(thing, functools.partial):
    thing = thing.func


def is_asgi(thing):
    if inspect.isclass(thing):
        return hasattr(thing, "__await__") or hasattr(thing, "__call__") and is_asgi(thing.__call__)
    if not (inspect.isfunction(thing) or inspect.ismethod(thing)):
        return is_asgi(getattr(type(thing), "__call__"))
    if inspect.iscoroutinefunction(inspect.unwrap(thing)):
        return True
    return [p for p in inspect.signature(thing).parameters if p != "self"] == ["scope", "receive", "send"]


if not callable(thing):
    sys.exit(f"{sys.argv[1]} is a {type(thing).__name__}, which nothing can call: not a web app.")
print("doorstep: this is an app for " + ("ASGI" if is_asgi(thing) else "WSGI"), flush=True)
