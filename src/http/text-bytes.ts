/** ASCII text that is handed to the library again and again: it reads bytes as they are, and transcodes a string each time. */
export const textBytes = (text: string): ArrayBuffer => Uint8Array.from(text, (c) => c.charCodeAt(0)).buffer
