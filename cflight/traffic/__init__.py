"""What is sent to a stack: batches of flight searches, generated or from files, over HTTP."""
