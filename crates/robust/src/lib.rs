//! How far a model can be trusted: attacks, defences, certified bounds, calibration.
