"""Engines that run segments, optimised forms kept on disk, and checks that a cut changes nothing."""
