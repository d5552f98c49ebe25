import importlib.util, sys

if importlib.util.find_spec(sys.argv[1]) is None:
    print(f"doorstep: {sys.argv[1]} is not installed yet")
elif sys.argv[1] == "gunicorn":
    from gunicorn import config

    # Later versions listen for commands, all of a user's at the same path in their home.
    if hasattr(config, "ControlSocketDisable"):
        print("doorstep: wants --no-control-socket")
