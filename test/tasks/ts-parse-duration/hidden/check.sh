cp /check/judge.ts /tmp/judge.ts && exec node /tmp/judge.ts
