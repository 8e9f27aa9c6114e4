"""From patch maps to a label map: threshold and background, blur, Dense CRF."""
