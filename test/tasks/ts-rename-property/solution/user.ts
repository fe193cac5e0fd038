export type User = { id: number; login: string }

export const label = (user: User): string => `User name: ${user.login}`
