"""What comes out: the segmentation of an image, its forms for other programs, its pictures."""
