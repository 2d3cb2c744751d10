"""Sequences of tokens: which of them are entities, learnt by a conditional random field; arrays in, arrays out."""
