// What a completion needs to find its way: io_uring carries 64 bits with each operation and gives them back.
//
//   low half   the handle (slot and generation, handle.ts): whose operation it was
//   high half  the operation
//
// Never a bare descriptor: its number is used again while a completion of its last user may still be on the way.

export const OPERATION_ACCEPT = 1;
export const OPERATION_RECEIVE = 2;
export const OPERATION_SEND = 3;
export const OPERATION_CONNECT = 4;
export const OPERATION_CANCEL = 5;
export const OPERATION_WATCH = 6;
export const OPERATION_WAKE = 7;
export const OPERATION_POLL = 8;
export const OPERATION_TIMER = 9;
