"""What differs by Keras backend, and the one file that uses private names of Keras."""
