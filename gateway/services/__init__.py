"""The imperative shell: receive, turn, dispatch, inbound, jobs, provision, replay."""
