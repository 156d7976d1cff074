"""What nobody may do and what nobody may see, tried over real sockets against simulated radios."""
