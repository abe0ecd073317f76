"""Shows the main job with the real programs: server, agent, control tool, SMTP. Only the log lines are made up.

`stage` starts and ends the programs, `mailbox` catches the mails, `api` speaks to the server as any client would,
`story` plays the two examples of the mission and checks every step. Start at `__main__.py`.
"""
