/** Preloaded by a test (`--import`) into a KME's process: SIGUSR2 writes a heap snapshot into the working folder. Never part of the product. */
import { writeHeapSnapshot } from 'node:v8'

process.on('SIGUSR2', () => { writeHeapSnapshot(`heap-${process.pid}.heapsnapshot`) })
