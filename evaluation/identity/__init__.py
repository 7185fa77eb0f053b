"""Identity: whose are the events that name a person and no unit?"""
