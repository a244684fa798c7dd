"""What a worker does, asked or on a schedule.

rounds.py    one round from claim to end, and the sweep; copying.py the work in between
leases.py    who owns a round
seats.py     which rounds are done side by side; turns.py decides, without a database
full_disk.py rounds that wait for room on the disk
healing.py   reads the store again, and copies anew what is damaged
housekeeping.py pruning.py   remove files and rows that nobody needs
"""
