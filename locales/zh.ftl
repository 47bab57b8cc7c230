## Numbers

bytes = { $count } 字节
parameters-thousand = { $count }K 参数
parameters-million = { $count }M 参数
parameters-billion = { $count }B 参数
seconds-left = 还需 { $seconds } 秒
minutes-left = 还需 { $minutes } 分钟
hours-left = 还需 { $hours } 小时
percent = { $value }%
images = { $count } 张图片

## Tabs

classify = 分类
train = 训练
library = 图库
evaluate = 评测
tab-running = 训练中
tab-paused = 已暂停
tabs = 功能

## Header and footer

footer = CLIP 把图片和文字提示放在一起比较，给标签排出先后，事先不用为这些标签做任何训练，这就是零样本分类。本页用 Rust 编写，靠 WebAssembly 和 WebGPU 运行，不需要服务器。
title = 浏览器里的 CLIP
promise-what = 放一张图片，写几个标签，看看哪个最贴切。
promise-local = 图片不会上传
promise-where = ，一切都在你自己的 GPU 或 CPU 上运行。
dark-theme = 深色主题
toggle-dark-theme = 切换深色主题
change-language = 切换语言

## Device and progress

not-running = 没有运行
loading-cancelled = 已取消加载
running = 运行中
running-on = 运行于{" "}
device-reason = （{ $reason }）
starting = 正在启动…
preparing-cpu = 正在准备 CPU…
looking-for-gpu = 正在查找 GPU…
loading-model-of = 正在加载模型：{ $done }，共 { $total }
loading-model-so-far = 正在加载模型：{ $done }
loading-model = 正在加载模型…
warming-up = 正在预热，首次运行稍慢…
cancelling = 正在取消…
encoding-prompts-of = 正在编码提示：{ $done }/{ $total }
encoding-prompts = 正在编码提示…
images-left = 还剩{ $images }
model-facts = { $name } · { $parameters } · { $bytes } · { $precision } 权重 · 输入 { $width } × { $height } 像素
model-independent = {" "}· 各标签概率相互独立
model-and-device = 模型与设备
resume = 继续
load-the-model = 加载模型
stop-now = 立即停止
cancel = 取消
int8-help = CPU 上更快，但精度略低，概率可能相差百分之几。训练时请关闭。
int8 = 8 位权重（更快）
device = 设备
progress = 进度
try-again = 重试
use-bundled = 改用内置模型
use-cpu = 改用 CPU
auto = 自动
gpu-did-not-work = GPU 无法正常工作：{ $error }
worker-restarted = 后台程序崩溃（{ $error }），已自动重启，无需操作。
gpu-failed-twice = GPU 两次出错
gpu-failed-now-cpu = GPU 两次出错（{ $error }），现已改用 CPU，速度较慢但更稳定。要再试 GPU，请在“设备”中选“GPU”。
advice-connection = 请检查网络后重试；仍不行就刷新页面。
advice-memory = 请关闭其他占内存的标签页，移除特别大的图片，然后重试。
advice-gpu = 请在“设备”中选“CPU”，或关闭其他占用 GPU 的标签页后重试。
worker-did-not-start = 无法启动
worker-crashed-twice = 一分钟内两次崩溃
worker-failed = 后台程序{ $what }（{ $error }）。{ $advice }
no-reason-given = 未说明原因
worker-version = 页面与后台程序版本不一致，可能是浏览器缓存了旧文件（{ $error }）。请刷新页面。
worker-message-unreadable = 它发来的一条消息无法读取
worker-script-not-loaded = 程序文件无法加载
worker-not-started = 浏览器无法启动后台程序（{ $error }）。请刷新页面，或换用新版 Chrome、Edge、Firefox 或 Safari。

## Adding images

add-more-images = 添加更多图片
drop-anywhere = 把图片拖到页面任意处
add-an-image = 添加图片
choose-images = 选择图片
use-camera = 打开摄像头
choose-video = 选择视频
or-paste = 或按{" "}
drop-or-paste = 拖入图片，或按{" "}
formats-help = 支持 PNG、JPEG、WebP、GIF、BMP、TIFF；浏览器能读的话也支持 AVIF 和 HEIC。图片不会离开本机。
add-sample = 添加示例图片：{ $image }
try-a-sample = 手边没有图片？试试示例
samples = 示例
sample-images = 示例图片
dropped-a-link = 拖入的是链接，不是图片文件。请先保存图片再拖入，或复制图片后在此粘贴。
drop-to-add = 松开即可添加
choose-folder = 选择文件夹
choose-files-or-zip = 选择文件或 zip
file-too-large = 文件超过 100 MB，请换一张小一些的图片。
file-unreadable = 文件无法读取：可能是文件夹，或已被移动或修改。请重新添加。
file-moved = 文件无法读取，可能已被移动或修改，请重新添加
sample-not-loaded = 示例图片无法加载（{ $error }）。请检查网络后重试，或使用自己的图片。
download-blocked = 浏览器拦截了下载。请检查下载设置后重试。

## Labels

label-known = “{ $one }”已在列表中。
labels-known = 其中 { $count } 个已在列表中。
default-labels = 猫，狗，鸟，马，鱼，蝴蝶，花，树，山，海滩，房子，桥，汽车，自行车，飞机，轮船，披萨，苹果，咖啡，鞋子
labels = 标签
copy-link-help = 生成链接，打开后即为当前的标签、提示模板和模型
copy-link = 复制链接
clear-all = 全部清除
add-a-label = 添加标签
add = 添加
labels-help = 任何词语都可以。按回车或逗号添加，也可以粘贴一串标签。
no-labels = 至少添加一个标签才能分类。
one-label = 只有一个标签时概率总是 100%，再加一个才能比较。
remove-label = 移除标签 { $name }
remove = 移除
suggest-labels = 推荐标签
model-without-chinese = 这个模型不太懂中文，请用英文标签和英文提示模板。

## Prompt templates

template-empty = 请输入提示模板，标签的位置写 {"{"}label{"}"}。
template-lower-case = {"{"}label{"}"} 请用小写。
template-without-label = 缺少 {"{"}label{"}"}：请写在标签的位置，例如“一张{"{"}label{"}"}的素描”
templates-averaged = { $count } 个模板取平均
prompt-templates = 提示模板
quoted = “{ $text }”
templates-help-before = CLIP 比较的是图片和文字提示。每个标签会代入{" "}
templates-help-after = {" "}的位置。多个模板的嵌入取平均，往往更准。
add-template = 添加提示模板
template-example = 一张{"{"}label{"}"}的素描
no-template = 未选模板，直接使用标签本身。
use-template = 使用模板 { $template }
custom-template = 自定义提示模板
remove-template = 移除模板 { $template }

## Answers

none-fits-said = { $name }：没有合适的标签。
answer-said = { $name }：{ $label }，{ $percent }。
classified = 已分类{ $images }。{ $answers }
results = 结果
show-cosine = 显示余弦相似度
say-when-none-fits = 都不合适时提示
download-results-csv = 下载结果 (CSV)
download-results-json = 下载结果 (JSON)
remove-all = 全部移除
click-a-label = 点击标签，可看它对应图中何处。
independent-help = 这个模型分别给出每个标签的概率，加起来不等于 100%。
fits-by-probability = 某个标签的概率达到此值，才算合适。
fits-by-share = 与约 1400 个日常词语一起比较，这些标签合计占到此比例，才算合适。
least-fit = 合适的下限
cancelled = 已取消。
waiting-no-model = 等待中：尚未加载模型。
waiting-for-model = 等待模型加载…
queued = 排队中…
encoding-image = 正在编码图片…
encoded-no-label = 已编码。添加标签即可分类。
cancelled-before = 分类前已取消。
comparing = 正在与标签比较…
pixels = { $width } × { $height } 像素
timing = 预处理 { $preprocess }，编码 { $encode }，设备：{ $device }
try-image-again = 重试 { $name }
remove-image = 移除 { $name }
labels-for = { $name } 的标签，按概率从高到低
show-top = 只看前 { $FOLDED } 个
show-all-labels = 显示全部 { $total } 个
looking-for = 正在定位“{ $label }”…
where-it-fits = “{ $label }”对应的位置。最匹配处距左边 { $x }%，距上边 { $y }%。
not-located = 无法定位“{ $label }”：{ $error }。
less = 低
more = 高
save-png = 保存 PNG
show-where = 在图中定位
cosine-of-image-and-label = 图片与标签的余弦相似度
cosine-before = 余弦相似度{" "}
probability = 概率
none-fits = 都不太合适（{ $fit }），最接近的是“{ $closest }”。
worker-crashed-on-image = 后台程序处理这张图片时崩溃（{ $error }），其他图片不受影响。
images-from = 从第 { $number } 张开始的图片

## Messages

messages = 消息
dismiss-message = 关闭这条消息
dismiss = 关闭
error-in-english = 出错了，原文是：{ $error }
heat-map-not-saved = 热力图无法保存：{ $error }。
link-without-model = {" "}链接不含你的模型，对方需要自备。
link-copied = 链接已复制。打开即为这些标签、模板和模型，不含图片。
copy-this-link = 请复制此链接：{ $address }{ $without_model }
link-not-made = 无法生成链接：浏览器没有提供页面地址。
no-safetensors = 其中没有 .safetensors 文件。请选择该格式的权重；模型若有 config.json 或 open_clip_config.json，请一并选上。

## Models

bundled-scope = 内置模型认识照片中约 450 种、图画和表情符号中约 1900 种常见事物，中英文名称都可以。下面的公开模型认识得多得多：
model-of-the-link = 链接指定的模型
linked-model = 这个链接用的是另一个模型，换用当前模型结果可能不同。
load-linked = 加载 { $name }
load-linked-bytes = 加载 { $name }，下载 { $bytes }
what-bundled-covers = 内置模型认识哪些事物
recommended-model = { $name }：下载 { $bytes }，{ $merit }
model = 模型
back-to-bundled = 换回内置模型
source-bundled = 内置：常见事物
source-files = 你的文件
published-facts = { $bytes } · { $parameters }M 参数 · 输入 { $pixels } 像素
imagenet-source = ImageNet 零样本 top-1 准确率，来源：{ $source }
small-download = {" "}体积小
best-for-its-size = {" "}同级最佳
load-name = 加载 { $name }
in-use = 使用中
load = 加载
published-models = 公开模型
special-models = 专用模型
other-models = 其他 CLIP 模型
model-input = Hugging Face 模型名，或 .safetensors 文件、文件夹的网址
model-input-example = 所有者/名称，或 https://…/model.safetensors
choose-model-files = 选择模型文件
or-drop-model = 或把文件、文件夹拖到页面任意处。
activation = 没有配置文件时的激活函数
automatic = 自动
quick-gelu = QuickGELU（OpenAI）
gelu = GELU（其他多数模型）
bytes-so-far = 已下载 { $bytes }
resume-download = 继续下载
delete-name = 删除 { $name }
delete = 删除
downloaded-models = 已下载的模型
downloaded-help = 模型存放在浏览器中，离线也能加载。删除后释放空间。

## Texts of the engine and the catalogue, which are in English; `foreign` finds them

foreign-cpu-one = CPU（单线程{ $how }）
foreign-cpu = CPU（{ $threads } 线程{ $how }）
foreign-simd = ，SIMD
foreign-chosen = 由你选择
foreign-gpu-unusable = GPU 无法使用：{ $reason }
foreign-no-webgpu = 此浏览器不支持或未启用 WebGPU
foreign-no-gpu = WebGPU 没有找到 GPU
foreign-emulated = 只有软件模拟的 GPU（{ $name }）
foreign-gpu-not-opened = GPU 无法打开（{ $error }）
foreign-purpose-chinese = 中文标签
foreign-purpose-clothes = 服装、鞋和配饰
foreign-purpose-species = 动物、植物和真菌的物种
foreign-purpose-street = 街景照片的拍摄地点
foreign-purpose = 用于{ $purpose }

## Training: several tabs, import

open-elsewhere = 另一个标签页正在训练
open-elsewhere-help = 图片和当前训练都在那个标签页里。关掉它即可在此继续；也可以现在接管，那边会先保存再停止。
train-here = 在此训练
waiting-for-other-tab = 正在等待另一个标签页。若一直没有反应，请将它关闭。
import-trained = 导入训练好的分类器或 LoRA
import-help = 请选择导出的文件或 zip；LoRA 也可以选 adapter_model.safetensors 加 adapter_config.json。完整模型请在“分类”页的“模型”中打开。
trained-model = 训练好的模型
using-trained = 正在使用训练好的模型：
use-original = 改用原模型

## Training: images

none-held-out = 未留出测试图片
training-amount = { $count } 张用于训练，{ $held }
held-out-for-testing = 留出 { $held } 张用于测试
training-images = 训练图片
save-as-zip = 保存为 zip
reading-images = 正在读取图片…
reading-images-left = 正在读取图片，还剩 { $count } 张
add-class = 添加类别
drop-class-folders = 拖入一个文件夹，其中每个类别一个子文件夹
add-class-images = 添加两个以上类别的图片
captions-help = 也可以是图片加一个文字描述表（CSV、TSV、JSONL），或它们的 zip。图片不会离开本机。
create-classes = 新建类别
try-sample-data = 试用示例数据
class-name = 类别名称
remove-class-name = 移除类别 { $name }
remove-class = 移除类别
add-images = 添加图片
use-camera-here = 打开摄像头
drop-images-here = 把图片拖到这里。
show-more-count = 再显示 { $count } 张
role-held-out = 留作测试
role-left-out = 未使用：{ $problem }
role-waiting = 尚未读取
captioned-images = 带描述的图片
caption-of = { $name } 的描述
show-more = 显示更多
and-more = 另有 { $count } 项
problems = { $count } 个问题，其余照常使用
held-out-share = 留出用于测试
held-out-help = 不参与训练，只用来评测结果。不少于三张图片的类别至少留出一张。
not-captured-close = 无法拍摄（{ $error }）。请关闭摄像头后重新打开。
camera-preview = 摄像头画面
allow-camera = 请允许使用摄像头。
hold-to-capture = 按住拍摄
close = 关闭
tap-to-capture = 点一下拍一张，按住每秒拍四张。
captured = 已拍摄{ $images }。
class-number = 类别 { $number }
worker-crashed-on-file = 后台程序处理此文件时崩溃
imported = { $what }已导入，现在可以用它分类。
interrupted-too-early = 训练在第一个检查点之前中断，请重新开始。
stage-pictures = 编码图片：{ $of }
stage-prompts = 编码类别提示：{ $of }
stage-cross-validating = 交叉验证：{ $of }
stage-fitting = 正在拟合分类器
stage-step = 第 { $of } 步
stage-evaluating = 在留出图片上评测：{ $of }
of-total = { $done }/{ $total }
zip-too-large = 文件太多或太大，一个 zip 装不下（4 GB、65,535 个文件）。请移除一些后重试。

## Training: methods

probe = 线性探针
adapter = 少样本适配器
lora = LoRA
full = 全量微调
pretrain = 从头预训练
probe-about = 在冻结的图片特征上训练线性分类器。每类 16 张以上效果最好。
adapter-about = 以零样本分类器为起点加以修正。每类一张图片也能用。
lora-about = 对注意力层做低秩更新，存成一个小文件。适合带描述的图片，或与模型训练数据差别大的图片。
full-about = 训练整个模型或其中一部分。需要几千张图片；模型可能忘掉原来会的。
pretrain-about = 从随机权重训练一个小模型，看看训练是怎么回事。要得到有用的模型，需要数百万张图片。
takes-seconds = 几秒
takes-minutes = 几分钟
takes-minutes-to-hours = 几分钟到几小时
takes-hours = 几小时
produces-classifier = 几 kB 的分类器
produces-lora = 几 MB 以内的 LoRA
produces-model = 完整模型
why-lora-captions = 带描述的图片可训练两个编码器，数据少时 LoRA 不易过拟合
why-full = { $train } 张带描述的图片足以训练整个模型
why-adapter = 最小的类别只有{ $each }，以零样本分类器为起点最稳妥
why-probe = 每类不少于{ $each }，足以在冻结特征上训练分类器
why-lora = 每类不少于{ $each }，足以调整编码器
no-training-images = 请先添加图片，现在还没有可训练的数据。
needs-classes = 这种方法需要类别。只有描述时，请用 LoRA、全量微调或预训练。
needs-second-class = 请再添加一个类别的图片，训练至少需要两类。
needs-second-image = 请再添加一张带描述的图片，训练至少需要两张。
fault-held-out = 请选 0 到 90% 之间的值。
fault-epochs = 至少为 1。
fault-batch = 至少为 2：损失要在一批图片之间比较。
fault-micro-batch = 须在 1 到批大小之间。
fault-learning-rate = 须大于 0 且不超过 1，例如 0.001 或 1e-3。
fault-weight-decay = 须在 0 到 1 之间。
fault-rank = 须在 1 到 256 之间。
fault-alpha = 须大于 0。
fault-frozen = 至少要训练一个编码器。
fault-all-frozen = 至少要训练一个编码器或温度。
fault-width = 须为 32 的倍数，从 32 到 512。
fault-layers = 须在 1 到 12 之间。
recommended = 推荐
method-facts = { $duration } · 得到{ $output }
needs-classes-short = 需要类别，只有描述不够。
method = 方法
method-recommended = 推荐{ $method }：{ $why }。
epochs = 训练轮数
epochs-help = 把训练图片过几遍。
batch-size = 批大小
batch-size-help = 一步中互相比较的图文对数。批越大，负样本越多。
micro-batch = 微批大小
micro-batch-help = 一次处理的图文对数。小一些更省内存，结果相同。
learning-rate = 学习率
learning-rate-help = 峰值。损失跳动或上升时，试试十分之一。
weight-decay = 权重衰减
weight-decay-help = 把权重拉向零，减轻过拟合。不作用于增益和偏置。
warmup = 预热步数
warmup-help = 学习率在这些步内上升，之后按余弦下降。
rank = 秩
rank-help = LoRA 更新的秩，通常为 4 到 16。
alpha = Alpha
alpha-help = 更新按 alpha / 秩 缩放。
width = 宽度
width-help = 两个 Transformer 的宽度。128 算小的；论文中最小为 512。
layers = 层数
layers-help = 每个 Transformer 的层数。
image-encoder = 图像编码器
text-encoder = 文本编码器
seed = 随机种子
seed-help = 决定留出哪些图片，以及其余图片的顺序。种子相同，结果相同。
advanced-settings = 高级设置
tuned-automatically = 正则化自动调节
steps = { $steps } 步
lora-mlp = LoRA 也用于 MLP
lora-mlp-help = 参数约增一倍：适应更多，遗忘也更多。
train-temperature = 训练温度
train-temperature-help = softmax 之前相似度要除以它，越低越尖锐。
gradient-checkpointing = 梯度检查点
gradient-checkpointing-help = 不保存激活值而是重新计算：省内存，多花时间。
restore-defaults = 恢复默认
frozen-help = 冻结的部分不训练，占用内存更少。
train-all = 全部训练
train-output-layers = 只训练输出层
train-last-block = 训练最后一层
train-last-blocks = 训练最后 { $blocks } 层
frozen = 冻结

## Training: run

stopping = 正在停止…
paused = 已暂停
pausing = 完成这一步后暂停…
images-per-second-short = { $speed } 张/秒
checkpoint-at = 检查点在第 { $step } 步
training-percent = 训练中，本阶段已完成 { $percent }%
training-finished = 训练完成。
a-second = 1 秒
about-seconds = { $seconds } 秒
about-minutes = { $minutes } 分钟
about-hours = { $hours } 小时
takes-memory = 约占内存 { $memory }。
takes-time-and-memory = 约需 { $time }，占内存 { $memory }。
a-minute-ago = 一分钟前
minutes-ago = { $minutes } 分钟前
hours-ago = { $hours } 小时前
days-ago = { $days } 天前
model-still-loading = 模型还在加载。
no-model-see-top = 没有加载模型，见页面顶部。
invalid-settings = 有些设置无效，见“高级设置”。
class-without-name = 有的类别还没有名称。
images-being-read = 还有 { $count } 张图片正在读取。
start-training = 开始训练
training = 训练
pause = 暂停
finish-help = 结束训练，保留现有结果
finish-now = 提前完成
cancel-training-help = 结束训练，丢弃结果
cancel-training = 取消训练
more-than-available = 超出可用的 { $bytes }。
more-than-likely = 这台设备的内存可能不够。
use-micro-batch = 微批大小改为 { $smaller }
run-interrupted = 一次训练（{ $what }）在{ $when }中断。
run-interrupted-at = 一次训练（{ $what }）在{ $when }中断，已到第 { $step } 步，共 { $steps } 步。
uses-another-model = 它用的是模型 { $of }，加载该模型后才能继续。
resume-training = 继续训练
discard = 丢弃
loss = 损失
loss-help = 每批的对比损失，越低越好
held-out-accuracy = 留出准确率
held-out-accuracy-help = 留出图片中，正确类别排第一的比例
temperature = 温度
temperature-help = softmax 之前相似度要除以它，不小于 0.01
learning-rate-about = 优化器的步长
step = 步数
step-number = 第 { $step } 步
chart-at = { $title }：{ $axis } { $x } 处为 { $value }
chart-empty = { $title }：暂无数据

## Training: result

not-evaluated = 没有留出图片，因此未评测结果。
held-out-images = { $count } 张留出图片
accuracy-before-after = { $of }上的准确率：训练前 { $before }，训练后 { $after }。
accuracy-after = { $of }上的准确率：{ $after }。
result = 结果
trained-on = { $method }，基于 { $model }
classes = { $count } 个类别
trained-for = { $method }，{ $classes }，基于 { $model }
classify-with-trained = 用训练好的模型分类
export = 导出
export-colon = 导出：
report-json = 报告 (JSON)
exporting = 正在导出…
share-of-trained = 训练后权重的占比：
wise-ft-help = 与原权重混合（WiSE-FT）往往能保住模型原有的能力，对分类和导出都有效。
accuracy-by-share = 不同占比下的留出准确率
accuracy-by-share-help = 训练后权重取不同占比（%）时，留出图片上的准确率
share-axis = 占比（%）
share = 占比
accuracy = 准确率
export-head = 分类器 (safetensors)
export-lora = LoRA (PEFT)
export-transformers = 模型 (transformers)
export-open-clip = 模型 (OpenCLIP)
before = 训练前
after = 训练后
points = { $points } 个百分点
speed = {" "}· { $speed } 张/秒
tested-on = ，在 { $held_out } 张上测试
trained-facts = 用{ $images }训练{ $tested } · { $seconds }{ $speed } · { $device }
accuracy-by-class = 各类准确率
class = 类别
images-column = 图片
confusion-cell = { $images }：实际为{ $truth }，预测为{ $answer }
confusion-matrix = 混淆矩阵
actual-predicted = 实际 ↓ 预测 →
correct = { $name }（正确）
predicted-as = { $truth }被预测为{ $answer }
click-a-number = 点击数字可查看图片。
worst-mistakes = 最有把握的错误
show-all = 显示全部
actual = 实际：{ $truth }

## Training: data

add-images-elsewhere = 另一个标签页正在训练：请在那边添加图片，或先在此选“在此训练”。
samples-not-loaded = 示例图片无法加载（{ $error }）。请检查网络后重试，或使用自己的图片。
and-unread-files = { $first }。另有 { $count } 个文件也无法读取。
note = 提示：{ $note }。

## Library: folder and index

choose-another-folder = 换一个文件夹
search-your-images = 搜索自己的图片
library-help = 选择一个文件夹，或拖到这里。可以用文字或图片找图、查找重复、按标签整理。图片不会离开本机。
reading-folder = 正在读取文件夹：{ $count } 张图片
kept-indexes = 浏览器中保存的索引
kept-indexes-help = 只读取新增和改动过的图片。
kept-indexes-choose = 请重新选择文件夹，只读取新增和改动过的图片。
open-name = 打开 { $name }
open = 打开
forget = 移除记录
index-facts = { $count } 张图片 · { $model } · { $bytes }
delete-index = 删除 { $folder } 在 { $model } 下的索引
index-opening = { $name }：正在打开
index-complete = { $name }：{ $count } 张图片
indexing-of = { $name }：正在建立索引，{ $done }/{ $total }{ $left }
indexing = 建立索引
continue = 继续
look-for-changes = 查找新增和改动
unread-files = { $files } 无法读取，是否已被移动或删除？
path-why = { $path }：{ $why }
files-left-out = { $count } 个文件未使用
other-files = 另有 { $count } 个文件不是图片。
index-left = ，{ $left }
tasks = 对图片做什么
search = 搜索
duplicates = 查重
sort = 整理

## Library: search and filters

search-for = 搜索内容
search-example = 沙滩上的狗
search-by-image = 以图搜图
search-help = 用 + 和 − 组合词语，两边留空格：“狗 + 沙滩 − 人”。别处的图片也可以粘贴或拖到这里。
query-images = 搜索所用的图片
like = 像 { $name }
not-like = 不像 { $name }
remove-from-query = 从搜索中移除 { $name }
best-first = 最相似的在前
newest-first = 最新的在前
shown-of = { $all } 张中的 { $shown } 张，{ $order }
no-images = 没有图片
found-images = { $shown } 张图片，{ $order }
minimum-similarity = 最低相似度{" "}
cosine-similarity = 余弦相似度
more-like-this = 更像这张
less-like-this = 少来这种
filters = 看哪些图片
filter-folder = 文件夹{" "}
all-folders = 全部
filter-from = 从{" "}
filter-to = 到{" "}
filter-label = 标签{" "}
any-label = 不限
filter-clear = 显示全部

## Library: duplicates

and-more-images = 另有 { $more } 张
similar-before = 相似图片的最低余弦相似度：
similar-after = {" "}（余弦相似度）
find-duplicates = 查找重复
identical-files = 完全相同的文件
oldest = 最早
near-identical = 同一张图片，缩放或重新压缩过
best-copy = 最清晰
similar-images = 相似的图片
largest = 最大

## Library: sorting

labels-to-sort-by = 按哪些标签整理
sort-now = 开始整理
sort-help = 标签用逗号隔开，每张图片归入概率最高的一个。
without-labels = 不用标签：
group-by-similarity = 按相似度分组
into-groups-before = 分成{" "}
group-count-auto = 自动
into-groups-after = {"{"}" "{"}"}组
copying-of = 正在复制第 { $number } 张，共 { $all } 张
copy-into-folder = 复制到文件夹
download-folders = 下载文件夹 (zip)
download-list = 下载列表 (CSV)
train-on-groups = 用这些分组训练
name-of-group = 分组 { $title } 的名称
label-of = { $path } 的标签

## Library: messages

no-images-in-folder = 这个文件夹里没有图片。请选择含有 JPEG、PNG、WebP、GIF、BMP、AVIF、HEIC 或 TIFF 文件的文件夹。
folder-unread = { $unread } 无法读取，可能已被移动或删除。请重新选择。
folder-not-allowed = 浏览器没有权限读取 { $name }。请再点“打开”并允许。
choose-folder-first = 请先选择文件夹，再粘贴或拖入图片来找相似的图片。
disk-full = 磁盘已满
may-not-write = 浏览器没有写入权限
copied-until = 已将 { $copied }/{ $all } 张图片复制到 { $folder }，随后停止：{ $why }。
copied-except = 已将 { $copied }/{ $all } 张图片复制到 { $folder }，{ $failed } 张无法复制：{ $first }{ $others }。
and-others = 等
copied-all = 已将 { $copied } 张图片复制到 { $folder }。
not-in-zip = { $path } 无法读取，可能已被移动或修改，未放入 zip。
folder-not-opened = 浏览器未能打开该文件夹（{ $error }）。

## Camera and video

none-fits-live = 都不太合适
live-not-classified = 无法对视频分类（{ $error }）。请停止后重新开始。
live-no-label = 添加标签即可对视频分类。
images-per-second = 每秒 { $rate } 张
camera-gone = 摄像头已断开。请接好后停止并重新开始。
camera-off = 页面不在前台，摄像头已关闭。
probability-of = { $name } 的概率
video = 视频
video-not-playable = 无法播放这个视频：文件已损坏，或浏览器不支持该格式。请换 MP4 (H.264) 或 WebM 文件。
camera = 摄像头
label-probabilities = 各标签的概率
stop = 停止
image-kept = 图片已加入结果。
keep-image = 保留这张
image-added = 图片已加入类别{ $class }。
add-to-class = 加入类别
class-to-add-to = 要加入的类别
without-name = 未命名
no-camera-here = 浏览器在这里不提供摄像头，需要 https 或 localhost。
camera-denied = 没有摄像头权限。请在浏览器的本页设置中允许，然后关闭此处重试。
no-camera = 没有找到摄像头。请接好后重试。
camera-in-use = 摄像头正被其他程序使用。请关闭那个程序后重试。
camera-not-opened = 摄像头无法打开（{ $error }）。
no-frame-yet = 还没有画面
not-captured = 无法拍摄（{ $error }）
