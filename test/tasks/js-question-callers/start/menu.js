export const menu = { store(name) { return name } }
menu.store('x')
