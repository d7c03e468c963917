"""How long tests wait for what must come."""

HANG_SECONDS = 600
"""What has not come by then hangs. Where nothing does it costs nothing, and a machine that others
keep busy takes many times its usual seconds. What must end soon has a bound of its own."""
