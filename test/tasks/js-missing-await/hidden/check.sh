cmp queue.test.mjs /check/queue.test.mjs && cp /check/judge.mjs /tmp/judge.mjs && exec node /tmp/judge.mjs
