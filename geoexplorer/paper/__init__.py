"""The paper's figures, made again: what it reported beside what is found here."""
