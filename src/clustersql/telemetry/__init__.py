"""What is told to the outside: `http`.  A leaf: nobody imports it."""
