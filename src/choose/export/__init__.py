"""Write a candidate as a folder that can be shipped, and predict with it."""
