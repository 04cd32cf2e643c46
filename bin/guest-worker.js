// Where the threads start that run commands in guests.
import { load } from "./load.js";

const { runGuestCell } = await load("guest-cell");
export default runGuestCell;
