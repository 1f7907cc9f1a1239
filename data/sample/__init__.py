"""The sample catalogue, the program that makes it, and the vocabulary that both it and the pocket texts
draw on.
"""
