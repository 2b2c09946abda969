"""What is said of a model beside its layers: how a picture enters it, what its answers are called, open sizes."""
