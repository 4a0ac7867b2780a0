"""The words every other room speaks: frozen values, Protocols and the error tree. Standard library and numpy only."""
