"""What decides whether training pays: data, drift, triggers, budget, measures, the gate; mostly pure."""
