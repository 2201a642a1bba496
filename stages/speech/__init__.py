"""Sound as documents, and what a frozen encoder makes of it: units that changes of the sound leave as they are."""
