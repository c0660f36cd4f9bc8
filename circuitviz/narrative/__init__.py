"""What is said of results: numbers in words, sentences, phrases of each kind of behaviour."""
