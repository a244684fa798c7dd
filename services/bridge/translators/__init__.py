"""One module for each pair of protocols, named `<from>_<to>.py`. Pure functions: messages in, messages out."""
