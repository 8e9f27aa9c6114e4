"""What the tests share: backbones set by hand, small data sets, servers, oracles."""
