//! What is said. The two halves share no sentence, as they share no voice: settings are looked for with the first,
//! figures are taken with the second.

use super::corpus::Kind;

/// English sentences of one half.
pub(super) const ENGLISH: [[(Kind, &[&str]); 4]; 2] = [
    [
        (
            Kind::Person,
            &[
                "Hello?",
                "Yes?",
                "Hi.",
                "Yeah, hello?",
                "Hello, this is Mary.",
                "Smith residence.",
                "Speaking.",
                "Hello, who is this?",
                "Morning, Peter here.",
                "Hey, what's up?",
                "Hello, hello?",
                "Uh, yes, hello?",
                "Hello, how can I help you?",
                "Hi, it's Bob.",
                "Hello, can you hear me?",
            ],
        ),
        (
            Kind::Office,
            &[
                "Good morning, Miller and Sons, this is Anna speaking, how can I help you?",
                "City library, front desk, good afternoon.",
                "Thank you for calling Riverside Garage, Tom speaking.",
                "Hello, sales department, one moment please.",
                "Taylor and Partners, this is Jane, who may I say is calling?",
            ],
        ),
        (
            Kind::Machine,
            &[
                "Hi, you've reached John. I can't come to the phone right now. Please leave a message after the tone.",
                "The person you are trying to reach is not available. Please leave your message after the tone.",
                "Thank you for calling. Our offices are now closed. Our opening hours are nine to five, Monday to Friday.",
                "Hey, it's Mike. You know what to do. Leave me a message at the beep, and have a great day.",
                "Sorry, I missed your call. Please leave your name, your number and a short message after the tone.",
                "Hi there, I am either on the other line or out of the office. Please leave a detailed message.",
                "Hello. You are connected to the voicemail of Susan Baker. She cannot take your call at the moment.",
                "Five five five, two three, one nine, is not available. At the tone, please record your message. When \
                 you have finished recording, you may hang up, or press one for more options.",
                "Hi, this is Kevin, leave a message.",
                "Welcome to the customer line. For sales, press one. For support, press two. To hear these options \
                 again, press nine.",
                "We can't answer right now, so please leave a message and we'll call you back.",
            ],
        ),
        (
            Kind::Screening,
            &[
                "Hi, the person you are calling is using a screening service, and will get a copy of this \
                 conversation. Go ahead and say your name, and why you are calling.",
                "Please state your name after the tone, and I will see if the person is available.",
            ],
        ),
    ],
    [
        (
            Kind::Person,
            &[
                "Hello, hi.",
                "Hello?",
                "Yes, hello?",
                "Good morning.",
                "Hello, John speaking.",
                "Who's calling, please?",
                "This is Linda.",
                "Hello, yes?",
                "Hey there.",
                "Yep?",
                "Good evening, Parker.",
                "Hi, who's that?",
                "Hello, can I help you?",
                "Jackson here.",
                "Hello, yes, I'm listening.",
            ],
        ),
        (
            Kind::Office,
            &[
                "Thank you for calling Green Valley Dental, this is Peter.",
                "Hello, you have reached accounts, Susan here.",
                "Good afternoon, Harbour Hotel, Michael speaking, how may I help?",
                "Law office of Stein and Brown, good morning.",
                "Service desk, you are speaking with Laura.",
            ],
        ),
        (
            Kind::Machine,
            &[
                "Hello, this is Mary. I am away from my desk at the moment. Leave your name and number and I will \
                 call you back.",
                "Your call has been forwarded to an automated voice message system. At the tone, please record your \
                 message.",
                "We are not at home right now. Please leave a message and we will get back to you as soon as we can.",
                "You have reached the voice mailbox of five five five, one two three four. Please leave a message.",
                "The subscriber you have dialled cannot answer. To leave a message, please speak after the signal.",
                "This is the Johnson family. Nobody can take your call just now, so please say something after the \
                 beep.",
                "Hi! Sorry I can't talk at the moment. Text me, or leave a message, and I'll ring you back later.",
                "The mailbox belonging to Daniel Cooper is ready to take your message. Please speak after the beep.",
                "You've reached Emma, leave me a message. Thanks, bye.",
                "Thanks for calling the clinic. If this is an emergency, hang up and dial the emergency number. \
                 Otherwise stay on the line.",
                "I'm driving or asleep. Leave your number after the tone and I'll get back to you.",
            ],
        ),
        (
            Kind::Screening,
            &[
                "Hello. This call is being answered by an assistant. If you say who you are and what it is about, \
                 I will find out whether they can talk.",
                "Before I connect you, please tell me your name and the reason for your call.",
            ],
        ),
    ],
];

/// Chinese sentences of one half.
pub(super) const CHINESE: [[(Kind, &[&str]); 3]; 2] = [
    [
        (Kind::Person, &["喂?", "喂,你好。", "你好,哪位?", "喂,您找谁?", "你好,请讲。"]),
        (
            Kind::Machine,
            &[
                "您好,您拨打的用户暂时无法接听,请在提示音后留言,谢谢。",
                "欢迎致电本公司,现在是下班时间,请在工作日上午九点到下午五点再次来电。",
                "您好,这里是王先生的语音信箱,请留下您的口信,我会尽快与您联系。",
            ],
        ),
        (Kind::Screening, &["您好,我是机主的智能助理,请问您是哪位,有什么事情需要我转告吗?"]),
    ],
    [
        (Kind::Person, &["喂,请问是谁?", "你好。", "喂,哪位呀?", "嗯,喂?", "您好,请问有什么事?"]),
        (
            Kind::Machine,
            &[
                "您好,我现在不方便接听您的电话,请在嘀声之后留下您的姓名和电话号码,我会尽快回复您。",
                "对不起,您呼叫的用户正忙,请在听到提示音后录音,录音完毕请挂机。",
                "感谢您的来电,本店营业时间为早上十点到晚上九点,请您稍后再拨。",
            ],
        ),
        (Kind::Screening, &["您好,机主现在不方便接电话,我是他的通话助手,请说出您的来意。"]),
    ],
];

/// What the crowd in the background talks about.
pub(super) const CROWD: [&str; 4] = [
    "So I told him that the meeting had been moved to Thursday, but he went there on Tuesday all the same, and of \
     course nobody was there, so he called me and asked where everybody was, and I had to laugh.",
    "The weather has been terrible for weeks now, we have hardly seen the sun at all, and the garden is under water, \
     the potatoes are rotting and the neighbour's dog has dug up what was left of the roses.",
    "If you take the second road on the left behind the station you will see a small shop with a green door, and \
     right next to it there is the house we used to live in when the children were small.",
    "And then the price went up again, and again the next month, until we said that this could not go on, and we \
     looked for another supplier, who turned out to be cheaper and much faster as well.",
];
