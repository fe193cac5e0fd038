cp /check/judge.mjs /tmp/j.mjs && node lru.test.mjs && exec node /tmp/j.mjs
