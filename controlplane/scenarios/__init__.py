"""The judge: plays a scenario with a whole plane and the sandbox retailer on one clock, and holds one against the other.

Law: what is true comes from the sandbox's journal; what the plane says of itself is only ever what is judged.
"""
