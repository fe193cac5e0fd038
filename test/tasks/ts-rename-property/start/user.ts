export type User = { id: number; userName: string }

export const label = (user: User): string => `User name: ${user.userName}`
