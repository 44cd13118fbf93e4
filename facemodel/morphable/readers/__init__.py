"""Readers of other projects' face models: Basel, FLAME, ICT-FaceKit, Surrey."""
