// Owns the words of help from outside on the command line, as protocol/principal.ts and escalation.ts have them: a command does not load the schemas for them.
export const consents = ['never', 'ask', 'auto'] as const
export const dataClasses = ['local-only', 'redact', 'open'] as const
export const modes = ['plan', 'advise', 'step', 'review', 'rest'] as const
