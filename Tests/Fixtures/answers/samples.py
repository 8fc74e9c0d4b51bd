"""What samples of answers are made of: tools, and cases."""

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather at a place.",
        "parameters": {
            "type": "object",
            "properties": {
                "city": {"type": "string"},
                "days": {"type": "integer"},
                "metric": {"type": "boolean"},
                "more": {"type": "object"},
                "note": {"type": ["string", "null"]},
            },
        },
    },
}
TIME = {"type": "function", "function": {"name": "time", "parameters": {"type": "object"}}}
TOOLS = [WEATHER, TIME]


def case(name, text, content="", reasoning="", calls=(), **more):
    return {"name": name, "text": text, "content": content, "reasoning": reasoning,
            "calls": [list(call) for call in calls], **more}


PARIS = '{"city": "Paris", "days": 2}'
