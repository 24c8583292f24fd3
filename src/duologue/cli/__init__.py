"""The command line: one thin file per verb over the library. Nothing imports it; heavy imports wait for their verb."""
