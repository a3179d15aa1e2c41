"""What cannot be built although its shape is right: pure functions of settings, region and date."""
