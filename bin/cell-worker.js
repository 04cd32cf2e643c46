// Where the threads start that run cells of questions.
import { load } from "./load.js";

const { runCell } = await load("cell");
export default runCell;
