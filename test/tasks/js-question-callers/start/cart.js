const store = (item) => [item]
export const add = (item) => store(item)
