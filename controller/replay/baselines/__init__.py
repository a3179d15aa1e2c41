"""Pure: the autoscalers that people use today, one family per file, as their code has it and with its faults mended."""
