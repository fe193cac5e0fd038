cmp package.json /check/package.json
